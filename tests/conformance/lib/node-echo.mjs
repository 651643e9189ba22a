#!/usr/bin/env node
// The echo applications of the official suites on the reference servers, to see that the suites ask for what
// these do. `--engine 3` takes Engine.IO 3 and Socket.IO 2, else 6 and 4; `--eio3` lets revision 3 in there.
import http from 'node:http';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { values } = parseArgs({ options: { engine: { type: 'string' }, eio3: { type: 'boolean' } } });

const options = { pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 1_000_000, perMessageDeflate: false };
const server = http.createServer();

if (values.engine === '3') {
  const engine = require('engine.io-3').attach(server, { ...options, path: '/engine.io', destroyUpgrade: false });
  engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  serve(require('socket.io-2')(server, { ...options, path: '/socket.io', destroyUpgrade: false }));
} else {
  const { attach } = await import('engine.io');
  const { Server } = await import('socket.io');
  const modern = { ...options, allowEIO3: values.eio3 ?? false, destroyUpgrade: false };
  const engine = attach(server, { ...modern, path: '/engine.io/' });
  engine.on('connection', (socket) => socket.on('data', (data) => socket.send(data)));
  serve(new Server(server, { ...modern, path: '/socket.io/', connectTimeout: 1000 }));
}

function serve(io) {
  for (const name of ['/', '/custom']) {
    io.of(name).on('connection', (socket) => {
      socket.emit('auth', socket.handshake.auth ?? {});
      socket.on('message', (...args) => socket.emit('message-back', ...args));
      socket.on('message-with-ack', (...args) => {
        const callback = args.pop();
        callback(...args);
      });
    });
  }
}

process.on('SIGTERM', () => process.exit(0));
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on http://127.0.0.1:${server.address().port}\n`);
});
