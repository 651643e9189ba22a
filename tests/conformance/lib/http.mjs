import http from 'node:http';

import { within } from './wait.mjs';

/**
 * A request over a TCP connection of its own: `{answered, abort}`.
 *
 * `answered` settles with `{status, headers, text, body}`, the last if the text is JSON. `abort()` hangs up.
 */
export function begin(url, { method = 'GET', headers = {}, body, localAddress } = {}) {
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
  const request = http.request(url, { method, headers: { ...length, ...headers }, agent: false, localAddress });
  const answered = new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString();
        resolve({ status: response.statusCode, headers: response.headers, bytes, text, body: parsed(text) });
      });
    });
  });
  request.end(body);
  const inTime = within(answered, `${method} ${url}`, 20_000);
  // Whoever hangs up does not wait for the answer.
  inTime.catch(() => {});
  return { answered: inTime, abort: () => request.destroy() };
}

export function fetchText(url, options) {
  return begin(url, options).answered;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
