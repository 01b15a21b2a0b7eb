// Sends a known set with @rudderstack/rudder-sdk-node: rudder.mjs SET_FILE.
//
// The SDK hands out the ids it made only in the body it sent, so they are read from there.

import { gunzipSync } from 'node:zlib'

import { end, message, sdk, sent, wanted } from './known_set.mjs'

const Analytics = sdk('@rudderstack/rudder-sdk-node')
const client = new Analytics(wanted.key, { dataPlaneUrl: wanted.url, logLevel: 'error', ...wanted.options })
const problems = []
const bodies = new Set()

function call(event) {
  return new Promise((resolve) => {
    client[event.call](message(event), (error, body) => {
      if (error) problems.push(`event ${event.n} was given up: ${error}`)
      else bodies.add(body)
      resolve()
    })
  })
}

// A handful at a time: the SDK measures its whole queue at each call.
for (let first = 0; first < wanted.events.length; first += 100) {
  const calls = wanted.events.slice(first, first + 100).map(call)
  let done = false
  const all = Promise.all(calls).then(() => { done = true })
  while (!done) {
    await client.flush().catch((error) => problems.push(`flush: ${error}`))
    await Promise.race([all, new Promise((resolve) => { setTimeout(resolve, 5) })])
  }
}
for (const body of bodies) {
  const batch = Buffer.isBuffer(body) ? JSON.parse(gunzipSync(body)).batch : body.batch
  for (const event of batch) sent(event.context.n, event.messageId)
}
end(problems)
