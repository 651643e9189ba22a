#!/usr/bin/env node
// Socket.IO's own server with as many of orgcast's commands as the tests use, and the same command line, so that
// the tests can be run against it unchanged: see the README. It checks nothing and limits nothing.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { parseArgs } from 'node:util';

import { Server } from 'socket.io';

const { values } = parseArgs({
  args: process.argv.slice(3),
  strict: false,
  options: Object.fromEntries(
    ['port', 'ping-interval-ms', 'ping-timeout-ms', 'max-message-size-bytes', 'cors-origins'].map((name) => [
      name,
      { type: 'string' },
    ]),
  ),
});
const number = (name, otherwise) => (values[name] === undefined ? otherwise : Number(values[name]));

const CHANNELS = { 'kpi:update': 'kpi', 'attendance:update': 'attendance', 'alert:triggered': 'alerts' };
const SHORTCUTS = { kpi: 'kpi:update', attendance: 'attendance:update', alert: 'alert:triggered' };

const server = http.createServer(api);
const io = new Server(server, {
  path: '/ws',
  allowEIO3: true,
  perMessageDeflate: false,
  destroyUpgrade: false,
  pingInterval: number('ping-interval-ms', 25_000),
  pingTimeout: number('ping-timeout-ms', 60_000),
  cors: { origin: values['cors-origins'] ?? false, credentials: true },
  maxHttpBufferSize: number('max-message-size-bytes', 1_048_576),
});

io.use((socket, next) => {
  if (socket.handshake.auth.token !== 'bad' && socket.handshake.query.token !== 'bad') {
    next();
    return;
  }
  const error = new Error('AUTH_FAILED: the token is no JWT');
  // Clients of 2.x are told `data` in place of the text.
  if (socket.conn.protocol === 4) error.data = { code: 'AUTH_FAILED', reason: 'token_malformed' };
  next(error);
});

io.on('connection', (socket) => {
  const { user_id, organization_id } = { ...socket.handshake.query, ...socket.handshake.auth };
  if (organization_id) authenticate({ user_id, organization_id });
  function authenticate({ user_id, organization_id }) {
    socket.data = { user_id, organization_id };
    return { success: true, connection_id: randomUUID(), user_id, organization_id, expires_at: null, pending: 0 };
  }
  const commands = {
    authenticate,
    subscribe({ channels, queue_name }) {
      const rooms = channels.map((channel) => room(channel, socket.data.organization_id, queue_name));
      socket.join(rooms);
      return { success: true, subscriptions: rooms };
    },
    'client:ping': (data) => ({ server_time: Date.now(), data }),
    heartbeat: (data) => ({ clientTime: data?.clientTime, serverTime: Date.now() }),
  };
  for (const [name, run] of Object.entries(commands)) {
    socket.on(name, (...args) => {
      const callback = typeof args.at(-1) === 'function' ? args.pop() : () => {};
      callback(run(args[0] ?? {}));
    });
  }
});

function room(channel, organization, queue) {
  return `${channel}:org:${organization}${queue === undefined ? '' : `:queue:${queue}`}`;
}

async function api(request, response) {
  const url = new URL(request.url, 'http://reference');
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks)) : undefined;
  const answer = await handle(request.method, url, body);
  response.writeHead(answer ? 200 : 404, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(JSON.stringify(answer ?? { success: false }));
}

async function handle(method, { pathname, searchParams }, body) {
  const parts = pathname.split('/').slice(3);
  if (method === 'POST' && parts[0] === 'broadcast') {
    const event = SHORTCUTS[parts[1]] ?? body.event;
    const payload = parts[1] ? body : body.data;
    const { organization_id, queue_name } = parts[1] ? body : body.target;
    const target = room(CHANNELS[event], organization_id, queue_name);
    const recipients = io.of('/').adapter.rooms.get(target)?.size ?? 0;
    const meta = { id: randomUUID(), channel: CHANNELS[event], timestamp: Date.now(), priority: 'medium' };
    const receipt = { success: true, message_id: meta.id, timestamp: meta.timestamp, recipients };
    if (searchParams.get('requires_ack') !== 'true') {
      io.to(target).emit(event, payload, meta);
      return receipt;
    }
    const wait = Number(searchParams.get('wait_ms') ?? 0);
    const acks = await new Promise((resolve) => {
      io.to(target)
        .timeout(wait || 30_000)
        .emit(event, payload, (error, answers) => resolve(answers.length));
    });
    return { ...receipt, acks };
  }
  if (method === 'GET' && parts[0] === 'connections') {
    const organization = searchParams.get('organization_id');
    const all = [...io.of('/').sockets.values()];
    return { connections: all.filter(({ data }) => data.organization_id === organization).map(({ id }) => ({ id })) };
  }
  if (method === 'GET' && parts[0] === 'stats') {
    const { clientsCount } = io.engine;
    return { success: true, stats: { active_connections: clientsCount, places_taken: clientsCount } };
  }
  return undefined;
}

process.on('SIGTERM', () => {
  io.close();
  server.closeAllConnections();
  setTimeout(() => process.exit(0), 100);
});
server.listen(number('port', 0), '127.0.0.1', () => {
  process.stdout.write(`listening on http://127.0.0.1:${server.address().port}\n`);
});
