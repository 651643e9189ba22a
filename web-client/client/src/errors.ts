/** The server's error codes, and those of the client's own. */
export type ErrorCode =
  | 'AUTH_FAILED'
  | 'UNAUTHORIZED'
  | 'INVALID_MESSAGE'
  | 'MESSAGE_TOO_LARGE'
  | 'RATE_LIMIT_EXCEEDED'
  | 'SUBSCRIPTION_FAILED'
  | 'ROOM_NOT_FOUND'
  | 'ROOM_FULL'
  | 'CONNECTION_LIMIT'
  | 'INTERNAL_ERROR'
  /** The server did not answer in time. */
  | 'TIMEOUT'
  /** There is no connection, or it was lost before the answer came. */
  | 'DISCONNECTED'
  /** The connection could not be made, or was closed for good. */
  | 'CONNECTION_FAILED'
  /** `getToken` failed. */
  | 'TOKEN_UNAVAILABLE'
  /** A name or a value that the client does not know: an option, a member of a filter. Thrown, not reported. */
  | 'INVALID_ARGUMENT'
  /** A warning alone: connected, and there is nothing to authenticate with. */
  | 'NO_IDENTITY'
  /** A warning alone: a handler for an event that is in no catalogue. */
  | 'UNKNOWN_EVENT';

/** What the server says of a failure. */
interface Fault {
  code?: ErrorCode;
  message?: string;
  retry_after_ms?: number;
  reason?: string;
}

/** Everything that the client reports or rejects with. Decide by `code`; `message` is for people. */
export class OrgcastError extends Error {
  override readonly name = 'OrgcastError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** When it makes sense to try again, if the server said so. */
    readonly retryAfterMs?: number,
    /** The WebSocket close code, if the connection ended with one. */
    readonly closeCode?: number,
    /** Which of the several causes of one code it was, such as `token_expired`, if the server said so. */
    readonly reason?: string,
  ) {
    super(message);
  }

  /** Reads `{success: false, error: {code, message, reason?, retry_after_ms?}}`. */
  static from(reply: unknown): OrgcastError {
    const fault = (reply as { error?: Fault } | null)?.error;
    return new OrgcastError(
      fault?.code ?? 'INTERNAL_ERROR',
      fault?.message ?? 'the server sent an error that can not be read',
      fault?.retry_after_ms,
      undefined,
      fault?.reason,
    );
  }
}

/** Whether the same client would only meet the same refusal again: the server did not say when it may come back. */
export function isFinal({ code, retryAfterMs }: OrgcastError): boolean {
  return retryAfterMs === undefined && ['AUTH_FAILED', 'UNAUTHORIZED', 'INVALID_MESSAGE'].includes(code);
}

/**
 * Whether to reconnect after a WebSocket close code. After a protocol error (1002), data that the server does not
 * take (1003, 1007), a refusal (1008) or a message that is too large (1009) the same client would only fail again.
 */
export function shouldReconnect(closeCode: number): boolean {
  return ![1002, 1003, 1007, 1008, 1009].includes(closeCode);
}
