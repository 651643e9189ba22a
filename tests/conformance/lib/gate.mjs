import net from 'node:net';

import { within } from './wait.mjs';

/**
 * A TCP proxy in front of `server` that holds WebSocket requests back until it is opened.
 *
 * A stock client upgrades from polling within milliseconds. Behind a gate a test decides when, and can so
 * publish before, during and after the upgrade.
 */
export async function startGate(server) {
  let open = false;
  const waiting = [];
  const sockets = new Set();
  let knocked;
  const knock = new Promise((resolve) => {
    knocked = resolve;
  });

  const gate = net.createServer((client) => {
    track(client);
    client.once('data', (head) => {
      client.pause();
      const pass = () => {
        const upstream = track(net.connect(server.port, '127.0.0.1'));
        upstream.write(head);
        client.pipe(upstream).pipe(client);
      };
      if (open || !head.toString('latin1').split('\r\n', 1)[0].includes('transport=websocket')) {
        pass();
      } else {
        waiting.push(pass);
        knocked();
      }
    });
  });

  function track(socket) {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    return socket;
  }

  await new Promise((resolve) => gate.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${gate.address().port}`,
    /** Resolves once a client waits at the gate. */
    held: () => within(knock, 'the client to ask for an upgrade'),
    open() {
      open = true;
      for (const pass of waiting.splice(0)) pass();
    },
    close() {
      gate.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
