// A Node client of an HTTPS proxy: CONNECT over HTTP/1.1 or HTTP/2, one page through the tunnel.
// usage: node tls_client.mjs http1|http2 GATEWAY-PORT HOST PORT PATH CA CERTIFICATE KEY; exits with 3 when refused.
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';

const [protocol, gatewayPort, host, port, path, ...files] = process.argv.slice(2);
const [ca, cert, key] = files.map((file) => fs.readFileSync(file));
const target = `${host}:${port}`;

function failed(error) {
  console.error(error.code || error.message);
  process.exit(1);
}

function answered(status, status2, tunnel, done) {
  if (status !== 200) {
    console.error(`refused: ${status}, ${status2}`);
    process.exit(3);
  }
  http.get({ createConnection: () => tunnel, host, path }, (page) => page.pipe(process.stdout).on('unpipe', done))
    .on('error', failed);
}

if (protocol === 'http1') {
  const request = https.request({
    host: 'localhost', port: gatewayPort, method: 'CONNECT', path: target, headers: { Host: target }, servername: 'localhost', ca, cert, key,
  });
  request.on('connect', (answer, socket) => answered(answer.statusCode, answer.headers['proxy-status'], socket, () => socket.end()));
  request.on('error', failed).end();
} else {
  const session = http2.connect(`https://localhost:${gatewayPort}`, { ca, cert, key }).on('error', failed);
  const tunnel = session.request({ ':method': 'CONNECT', ':authority': target }, { endStream: false });
  tunnel.on('response', (answer) => answered(answer[':status'], answer['proxy-status'], tunnel, () => session.destroy()));
  tunnel.on('error', failed);
}
