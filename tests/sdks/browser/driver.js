// Sends a known set with @segment/analytics-next from a page of another origin than the API.
//
// Asks its own server for the set (/set.json: {url, key, options, metrics, events}) and reports to it (/report: {sent, problems}).
// The SDK adds who the visitor is at that moment to an event when it is sent: who it is changes only between events that are done.
// It also remembers traits and sends them all again; it is made to forget them, so that each event has its own.

const { url, key, options, metrics, events } = await (await fetch('/set.json')).json()
const problems = []
const sent = []
window.addEventListener('unhandledrejection', ({ reason }) => problems.push(`unhandled: ${reason}`))

function call(analytics, { n, call, timestamp, ...fields }) {
  const extra = { context: fields.context }
  if (timestamp !== undefined) extra.timestamp = new Date(timestamp)
  if (fields.messageId !== undefined) extra.messageId = fields.messageId
  switch (call) {
    case 'track': return analytics.track(fields.event, fields.properties, extra)
    case 'identify':
      analytics.user().traits(null)
      return analytics.identify(fields.userId, fields.traits, extra)
    case 'group':
      analytics.group().traits(null)
      return analytics.group(fields.groupId, fields.traits, extra)
    case 'alias': return analytics.alias(fields.userId, fields.previousId, extra)
    default: return analytics[call](fields.category ?? null, fields.name ?? null, fields.properties, extra)
  }
}

const visitor = ({ userId, anonymousId }) => JSON.stringify([userId, anonymousId])

try {
  const settings = { writeKey: key, cdnURL: url }
  const load = { integrations: { 'Segment.io': { apiHost: `${new URL(url).host}/v1`, protocol: 'http', ...options } } }
  if (metrics) load.updateCDNSettings = (remote) => ({ ...remote, metrics: { sampleRate: 1, flushTimer: 100 } })
  const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load(settings, load)
  analytics.on('error', ({ code, reason }) => problems.push(`${code}: ${reason}`))
  let last
  let open = []
  for (const event of events) {
    if (visitor(event) !== last || open.length >= 50) {
      await Promise.all(open)
      open = []
      last = visitor(event)
      const user = analytics.user()
      user.id(event.userId ?? null)
      if (event.anonymousId !== undefined) user.anonymousId(event.anonymousId)
    }
    open.push(call(analytics, event).then((context) => sent.push({ n: event.n, messageId: context.event.messageId })))
  }
  await Promise.all(open)
} catch (error) {
  problems.push(String(error?.stack ?? error))
}
await fetch('/report', { method: 'POST', body: JSON.stringify({ sent, problems }) })
