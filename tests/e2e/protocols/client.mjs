// A small Node client: opens a tunnel with http's CONNECT or with SOCKS5 over net, and gets one page through it.
// usage: node client.mjs http|socks5 GATEWAY-PORT HOST PORT PATH; exits with 3 when the gateway refuses.
import http from 'node:http';
import net from 'node:net';

const [protocol, gatewayPort, host, port, path] = process.argv.slice(2);

function refused(code) {
  console.error(`refused: ${code}`);
  process.exit(3);
}

function page(socket) {
  http.get({ createConnection: () => socket, host, path }, (response) => response.pipe(process.stdout))
    .on('error', (error) => { console.error(error.message); process.exit(1); });
}

function overHttp() {
  const request = http.request({ host: '127.0.0.1', port: gatewayPort, method: 'CONNECT', path: `${host}:${port}` });
  request.on('connect', (response, socket) => (response.statusCode === 200 ? page(socket) : refused(response.statusCode)));
  request.end();
}

// Collects bytes until `count` are there (RFC 1928 answers have a length known from their first bytes).
async function take(socket, count) {
  let chunk;
  while ((chunk = socket.read(count)) === null) {
    await new Promise((resolve, reject) => { socket.once('readable', resolve); socket.once('end', reject); });
  }
  return chunk;
}

async function overSocks5() {
  const socket = net.connect(gatewayPort, '127.0.0.1');
  socket.write(Buffer.from([5, 1, 0]));
  const method = await take(socket, 2);
  if (method[1] !== 0) refused(255);
  const name = Buffer.from(host);
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 255])]));
  const head = await take(socket, 4);
  if (head[1] !== 0) refused(head[1]);
  await take(socket, (head[3] === 1 ? 4 : 16) + 2);
  page(socket);
}

await (protocol === 'http' ? overHttp() : overSocks5());
