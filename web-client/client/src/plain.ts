import { OrgcastError } from './errors.js';
import { address, type Meta, type OpenTransport, type WebSocketClass } from './transport.js';

interface Frame extends Meta {
  event?: string;
  data?: unknown;
  requires_ack?: boolean;
}

/** The plain JSON protocol over the browser's WebSocket, or over another class that behaves like it. */
export function plainTransport(Socket?: WebSocketClass): OpenTransport {
  return (endpoint, listener) => {
    const url = address(endpoint, 'ws');
    url.searchParams.set('envelope', 'event');
    const Found: WebSocketClass | undefined = Socket ?? globalThis.WebSocket;
    if (!Found) {
      throw new OrgcastError(
        'CONNECTION_FAILED',
        'there is no WebSocket here, as in Node before 22: `npm install ws`, and give its class as the option `WebSocket`',
      );
    }
    const socket = new Found(url.href);
    const waiting = new Map<unknown, [(reply: unknown) => void, (error: OrgcastError) => void]>();
    let lastId = 0;
    let isOver = false;

    const end = () => {
      isOver = true;
      for (const [, reject] of waiting.values()) reject(new OrgcastError('DISCONNECTED', 'the connection was lost'));
      waiting.clear();
    };
    const send = (event: string, data: unknown, id?: number) => socket.send(JSON.stringify({ event, data, id }));

    socket.onopen = () => {
      if (isOver) return;
      listener.switched('websocket');
      listener.opened();
    };
    socket.onmessage = ({ data: text }) => {
      if (isOver) return;
      let frame: Frame;
      try {
        frame = JSON.parse(text);
      } catch {
        return;
      }
      const { id, event, data } = frame;
      const asked = waiting.get(id);
      if (asked) {
        waiting.delete(id);
        asked[0](data);
      } else if (event) {
        listener.received(event, data, frame, frame.requires_ack ? () => send('ack', { id }) : undefined);
      }
    };
    // The close that follows says what there is to say.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      if (isOver) return;
      end();
      listener.closed(code, reason);
    };

    return {
      request: (event, data) =>
        new Promise((resolve, reject) => {
          if (isOver || socket.readyState !== 1) {
            reject(new OrgcastError('DISCONNECTED', 'there is no connection'));
            return;
          }
          lastId += 1;
          waiting.set(lastId, [resolve, reject]);
          send(event, data, lastId);
        }),
      close: () => {
        end();
        socket.close(1000);
      },
    };
  };
}
