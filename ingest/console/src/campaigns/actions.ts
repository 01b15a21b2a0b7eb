// What can be done with a campaign as a whole. Each says what happened, and fails on a version that is not the one that was seen.
import { call, path, post } from "../api";
import { confirm } from "../shell/dialog";
import { complain, notify } from "../shell/notices";
import type { Campaign } from "../types";

const address = (id: string, ...more: string[]) => path("v1", "admin", "campaigns", id, ...more);

async function tell<T>(doing: Promise<T>, done: string): Promise<T | undefined> {
  try {
    const answer = await doing;
    notify(done);
    return answer;
  } catch (error) {
    complain(error);
    return undefined;
  }
}

export async function setStatus(campaign: Campaign, status: string): Promise<Campaign | undefined> {
  const change = call<Campaign>("PUT", address(campaign.id), { body: { status }, version: campaign._version });
  return tell(change, `“${campaign.name}” is ${status} now.`);
}

export async function duplicate(campaign: Campaign): Promise<Campaign | undefined> {
  return tell(post<Campaign>(address(campaign.id, "duplicate")), `“${campaign.name}” was copied as a draft.`);
}

export async function archive(campaign: Campaign): Promise<Campaign | undefined> {
  const sure = await confirm({
    title: "Archive this campaign?",
    text: `“${campaign.name}” is shown to nobody any more. It can be made active again at any time.`,
    action: "Archive",
  });
  if (!sure) return undefined;
  return tell(post<Campaign>(address(campaign.id, "archive"), undefined, { version: campaign._version }), `“${campaign.name}” is archived.`);
}

export async function remove(campaign: Campaign): Promise<boolean> {
  const sure = await confirm({
    title: "Delete this campaign?",
    text: `“${campaign.name}” goes from all lists. Its history stays: the same address brings it back.`,
    action: "Delete",
    danger: true,
  });
  if (!sure) return false;
  const gone = call<{ ok: boolean }>("DELETE", address(campaign.id), { version: campaign._version });
  return (await tell(gone, `“${campaign.name}” was deleted.`)) !== undefined;
}
