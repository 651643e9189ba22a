import net from 'node:net';

/**
 * What becomes of a WebSocket behind the proxy once its 101 has passed. Nothing of it is told to either side by
 * closing, unless it says so.
 */
export const FAULTS = {
  none: {},
  freezes: { up: false, down: false },
  'passes upwards only': { up: true, down: false },
  'passes downwards only': { up: false, down: true },
  'cuts after the 101': { cutAfter: Buffer.from('\r\n\r\n') },
  'cuts after 3probe': { cutAfter: Buffer.from('3probe') },
};

/**
 * A TCP proxy in front of `port` that does to its first `faults` WebSocket connections what `fault` says, and
 * carries everything `delayMs` late each way. Requests for an upgrade wait for the promise `hold`. `requests` counts
 * the HTTP requests that came, upgrades aside; `spoken` the times that a WebSocket client was heard by the server.
 */
export async function startProxy(port, { fault = 'none', faults = Infinity, delayMs = 0, hold } = {}) {
  const sockets = new Set();
  const proxy = { requests: 0, upgrades: 0, spoken: 0 };

  function track(socket) {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    return socket;
  }

  const later = delayMs > 0 ? (run) => setTimeout(run, delayMs) : (run) => run();

  function carry(from, to, pass) {
    from.on('data', (chunk) => {
      const part = pass(chunk);
      const counts = pass.speaks;
      if (part.length > 0) {
        later(() => {
          if (counts) proxy.spoken += 1;
          if (to.writable) to.write(part);
        });
      }
      if (pass.cuts) {
        later(() => {
          from.destroy();
          to.end(() => to.destroy());
        });
      }
    });
    from.on('end', () => {
      if (pass.ends()) later(() => to.writable && to.end());
    });
  }

  const listener = net.createServer({ allowHalfOpen: true }, (client) => {
    track(client);
    const upstream = track(net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
    const request = new RequestCounter();
    let isWebSocket = false;
    let { up = true, down = true, cutAfter } = {};
    let answered = false;
    let tail = Buffer.alloc(0);

    const upwards = (chunk) => {
      const before = request.heads;
      const head = request.take(chunk);
      proxy.requests += request.heads - before;
      if (head?.includes('transport=websocket')) {
        isWebSocket = true;
        proxy.requests -= 1;
        proxy.upgrades += 1;
        if (proxy.upgrades <= faults) ({ up = true, down = true, cutAfter } = FAULTS[fault]);
        if (hold === undefined) return chunk;
        // Nothing follows a request for an upgrade before it is answered.
        hold.then(() => upstream.write(chunk));
        return Buffer.alloc(0);
      }
      upwards.speaks = isWebSocket && up;
      return isWebSocket && !up ? Buffer.alloc(0) : chunk;
    };
    upwards.ends = () => !isWebSocket || up;

    const downwards = (chunk) => {
      if (!isWebSocket) return chunk;
      if (cutAfter) {
        const seen = Buffer.concat([tail, chunk]);
        const at = seen.indexOf(cutAfter);
        tail = seen.subarray(Math.max(0, seen.length - cutAfter.length + 1));
        if (at === -1) return chunk;
        downwards.cuts = true;
        return chunk.subarray(0, at + cutAfter.length - (seen.length - chunk.length));
      }
      if (answered) return down ? chunk : Buffer.alloc(0);
      const seen = Buffer.concat([tail, chunk]);
      const end = seen.indexOf('\r\n\r\n');
      if (end === -1) {
        tail = seen;
        return chunk;
      }
      answered = true;
      return down ? chunk : chunk.subarray(0, end + 4 - tail.length);
    };
    downwards.ends = () => !isWebSocket || down;

    carry(client, upstream, upwards);
    carry(upstream, client, downwards);
    client.on('close', () => later(() => upstream.destroy()));
    upstream.on('close', () => {
      if (downwards.ends()) later(() => client.destroy());
    });
  });

  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return Object.assign(proxy, {
    url: `http://127.0.0.1:${listener.address().port}`,
    close() {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  });
}

/** Counts request lines in a stream of HTTP/1.1 requests, whose bodies have none. */
class RequestCounter {
  heads = 0;
  #tail = '';

  /** The first request line that ends in `chunk`, if one does. */
  take(chunk) {
    const text = this.#tail + chunk.toString('latin1');
    const lines = text.match(/(?:GET|POST|OPTIONS) \/\S* HTTP\/1\.1\r\n/g) ?? [];
    this.heads += lines.length;
    const end = text.lastIndexOf('\n') + 1;
    this.#tail = text.slice(end).slice(-4096);
    return lines[0];
  }
}
