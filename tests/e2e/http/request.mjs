// Three requests in absolute-form over one kept connection: the second and third with content, in chunks.
import http from 'node:http'

const [proxy, url] = process.argv.slice(2)
const { hostname, port } = new URL(proxy)
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

function ask (path, size) {
  return new Promise((resolve, reject) => {
    const options = { hostname, port, agent, path, method: size ? 'POST' : 'GET', headers: { host: new URL(url).host } }
    const request = http.request(options, response => {
      let text = ''
      response.on('data', data => { text += data })
      response.on('end', () => resolve(JSON.parse(text)))
    })
    request.on('error', reject)
    for (let sent = 0; sent < size; sent += 10000) request.write('n'.repeat(10000))
    request.end()
  })
}

const told = []
for (let i = 0; i < 3; i++) told.push(await ask(`${url}?${i}`, i * 100000))
console.log(JSON.stringify(told))
agent.destroy()
