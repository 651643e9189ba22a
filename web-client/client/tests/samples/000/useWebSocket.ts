export { useWebSocket } from '@/hooks/useWebSocket';
