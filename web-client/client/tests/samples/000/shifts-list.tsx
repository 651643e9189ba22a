import { useShiftUpdates } from '@/hooks/useWebSocket';

function ShiftsList() {
  const queryClient = useQueryClient();

  useShiftUpdates(
    user.company_id,
    (shift) => {
      // Invalidate shifts query to refetch
      queryClient.invalidateQueries(['shifts']);
      
      // Or optimistically update cache
      queryClient.setQueryData(['shift', shift.id], shift);
    }
  );

  // ...
  return null;
}

export { ShiftsList };
