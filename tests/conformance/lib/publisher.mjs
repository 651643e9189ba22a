import http from 'node:http';

/** Publishes `{n: 0}`, `{n: 1}`, ... to the organization's kpi, `perSecond` of them, one after the other. */
export function startPublisher(server, organization_id, perSecond) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const publisher = { begun: 0, done: 0 };
  let stopped = false;
  let failure;

  function post(n) {
    const body = JSON.stringify({ organization_id, n });
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const url = `${server.url}/api/ws/broadcast/kpi`;
      const request = http.request(url, { method: 'POST', headers, agent }, (response) => {
        response.resume();
        response.on('end', () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`a broadcast was answered ${response.statusCode}`));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  const started = performance.now();
  const finished = (async () => {
    while (!stopped) {
      publisher.begun += 1;
      await post(publisher.done);
      publisher.done += 1;
      const due = started + (publisher.done * 1000) / perSecond;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    }
  })().catch((error) => {
    failure = error;
  });

  return Object.assign(publisher, {
    async stop() {
      stopped = true;
      await finished;
      agent.destroy();
      if (failure) throw failure;
    },
  });
}
