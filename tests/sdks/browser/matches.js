// Waits for matches as ingest/MATCHES.md says: a token with the write key, a stream with the token, an acknowledgment of what was shown.
//
// Asks its own server what to do (/set.json: {url, key, user}) and reports each match, and what went wrong (/report).

const { url, key, user } = await (await fetch('/set.json')).json()
const report = (said) => fetch('/report', { method: 'POST', body: JSON.stringify(said) })
const post = async (path, body) => {
  const headers = { 'x-api-key': key, 'content-type': 'application/json' }
  return (await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json()
}
let cursor

async function open() {
  const { token } = await post('/v1/matches/token', { user_id: user })
  const query = new URLSearchParams({ user_id: user, device_id: 'browser', token })
  if (cursor) query.set('after', cursor)
  const stream = new EventSource(`${url}/v1/matches/stream?${query}`)
  let opened = 0
  stream.onopen = () => report({ opened: ++opened })
  stream.addEventListener('match', async ({ data, lastEventId }) => {
    cursor = lastEventId || cursor
    const match = JSON.parse(data)
    const { acknowledged } = await post('/v1/matches/ack', { user_id: user, ids: [match.id] })
    await report({ id: match.id, text: match.campaign.config.text, acknowledged, opened })
  })
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(open, 100)
  }
}

try {
  await open()
} catch (error) {
  await report({ problem: String(error?.stack ?? error) })
}
