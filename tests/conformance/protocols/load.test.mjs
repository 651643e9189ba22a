import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { TEXT, Wire, frame, upgradeRequest } from '../lib/frames.mjs';
import { scenario } from '../lib/scenario.mjs';
import { startServer } from '../lib/server.mjs';

const CLIENTS = Number(process.env.CONFORMANCE_FIRST_EMITS ?? 6_000);
const AT_ONCE = 100;

describe('many clients that emit in the moment in which they connect', () => {
  let server;
  before(async () => {
    server = await startServer({ max_connections_total: 0 });
  });
  after(() => server?.stop());

  scenario(
    `are all answered, ${CLIENTS} of them`,
    async (t) => {
      let begun = 0;
      let replies = 0;
      const lost = [];

      async function one(n) {
        // Other addresses of the loopback net, so that the ports of one do not run out.
        const connection = new Wire(server.port, { localAddress: `127.0.0.${2 + (n % 200)}` });
        try {
          connection.write(upgradeRequest('/ws/?EIO=4&transport=websocket'));
          assert.equal((await connection.answer())?.status, 101);
          const ping = frame(TEXT, `42${n}["client:ping",{}]`);
          connection.write(frame(TEXT, '40'));
          for (;;) {
            const text = (await connection.frame())?.payload.toString();
            if (text === undefined) throw new Error('the server hung up');
            // As a stock client does from its `connect` event.
            if (text.startsWith('40{')) connection.write(ping);
            else if (text.startsWith(`43${n}[`)) break;
          }
          replies += 1;
        } catch (error) {
          lost.push(`${n}: ${error.message}`);
        } finally {
          connection.socket.resetAndDestroy();
        }
      }

      async function several() {
        while (begun < CLIENTS) {
          begun += 1;
          await one(begun);
        }
      }
      const started = performance.now();
      await Promise.all(Array.from({ length: AT_ONCE }, several));
      t.diagnostic(`${Math.round((CLIENTS * 1000) / (performance.now() - started))} clients a second`);
      assert.deepEqual(lost.slice(0, 10), []);
      assert.equal(replies, CLIENTS);
    },
    { timeout: 200_000 },
  );
});
