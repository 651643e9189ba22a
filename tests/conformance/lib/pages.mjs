import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { fileURLToPath } from 'node:url';

/**
 * An HTTP server for web pages, of an origin of its own.
 *
 * `pages` maps a path to the text of a page or to the URL of the file that is served there.
 */
export async function servePages(pages) {
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://pages');
    const page = pages[pathname];
    if (page === undefined) {
      response.writeHead(404).end();
      return;
    }
    const type = pathname.endsWith('.js') ? 'text/javascript' : 'text/html';
    const body = page instanceof URL ? await readFile(fileURLToPath(page)) : page;
    response.writeHead(200, { 'Content-Type': `${type}; charset=utf-8` }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
