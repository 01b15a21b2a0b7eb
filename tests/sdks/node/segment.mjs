// Sends a known set with @segment/analytics-node: segment.mjs SET_FILE.

import { end, message, sdk, sent, wanted } from './known_set.mjs'

const { Analytics } = sdk('@segment/analytics-node')
const analytics = new Analytics({ writeKey: wanted.key, host: wanted.url, ...wanted.options })
const problems = []
analytics.on('error', (error) => problems.push(`error event: ${JSON.stringify(error)}`))
for (const event of wanted.events) {
  analytics[event.call](message(event), (error, context) => {
    if (error) problems.push(`event ${event.n} was given up: ${error}`)
    else sent(event.n, context.event.messageId)
  })
}
await analytics.closeAndFlush({ timeout: 120_000 })
end(problems)
