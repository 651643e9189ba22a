import { createHmac } from 'node:crypto';

export const SECRET = 'the secret of the conformance tests, of a sufficient length';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token as a backend makes it; `lifetime` is in seconds, the rest are claims. */
export function token({ lifetime = 600, ...claims }) {
  const now = Math.floor(Date.now() / 1000);
  const message = [
    { alg: 'HS256', typ: 'JWT' },
    { sub: 'user_1', iat: now, exp: now + lifetime, ...claims },
  ]
    .map(encode)
    .join('.');
  return `${message}.${createHmac('sha256', SECRET).update(message).digest('base64url')}`;
}
