// An HTTP/2 origin over TLS: tells what it was asked, with trailers; /interim comes behind 103, /reset is given up
// half-way, /big is a mebibyte, /nothing has no length and no content. Prints its port.
import fs from 'node:fs'
import http2 from 'node:http2'

const [certificate, key] = process.argv.slice(2)
const server = http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true })

server.on('stream', (stream, headers) => {
  let length = 0
  const path = headers[':path']
  stream.on('error', () => {})
  stream.on('data', data => { length += data.length })
  stream.on('end', () => {
    if (path === '/interim') stream.additionalHeaders({ ':status': 103, link: '</a.css>' })
    if (path === '/nothing') return stream.respond({ ':status': 200 }, { endStream: true })
    stream.respond({ ':status': 200, server: 'node' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-length': String(length) }))
    if (path === '/big') return stream.end(Buffer.alloc(1 << 20, 'n'))
    if (path === '/reset') return stream.write('half', () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
    stream.end(JSON.stringify({ path, length, scheme: headers[':scheme'], via: headers.via, method: headers[':method'] }))
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
