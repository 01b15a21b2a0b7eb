// What both Node drivers share: the set they are given, the SDK they load, and how they end.
//
// A driver is called with a file: {url, key, options, events: [{n, call, …the call's fields}]}. It prints one line per event,
// {n, messageId}, and ends with 1 and the reasons when anything was refused or given up.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import process from 'node:process'

export const wanted = JSON.parse(readFileSync(process.argv[2], 'utf8'))

/** The SDK, from the folder that the tests installed it in. */
export const sdk = (name) => createRequire(`${process.env.EC_SDK_NODE_FOLDER}/`)(name)

/** The argument of a call. */
export function message({ n, call, timestamp, ...fields }) {
  return timestamp === undefined ? fields : { ...fields, timestamp: new Date(timestamp) }
}

/** One line for an event that the SDK says was sent. */
export const sent = (n, messageId) => process.stdout.write(`${JSON.stringify({ n, messageId })}\n`)

/** Ends the driver. */
export function end(problems) {
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
