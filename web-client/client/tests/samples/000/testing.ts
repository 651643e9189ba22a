import { renderHook } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { useWebSocket } from './useWebSocket';

describe('useWebSocket', () => {
  it('should connect on mount', () => {
    const { result } = renderHook(() => useWebSocket({
      companyId: 'test-company',
    }));
    
    // Initially disconnected
    expect(result.current.isConnected).toBe(false);
    
    // Wait for connection
    // ...
  });
});
