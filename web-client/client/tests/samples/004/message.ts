import type { Message } from '@orgcast/client';

type WebSocketEventType = string;

interface WebSocketMessage {
  type: WebSocketEventType
  data: any
  timestamp: string
  userId?: string
  storeId?: string
  sessionId?: string
}

export const accept = (message: Message): WebSocketMessage => message;
