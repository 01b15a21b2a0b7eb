// Users and visitors by the beginning of their id.
import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { count } from "../format";
import { useLoad, useSettled } from "../loading";
import { adjust, go, link } from "../router";
import { Card, Empty, More, Page, Search, Show, Table, Time, Value } from "../shell/pieces";
import type { ListedUser } from "../types";

const ROWS = 50;
/** As far as the server counts. */
const COUNTED = 10_000;

interface Listed {
  users: ListedUser[];
  total: number;
  next_cursor: string | null;
}

export function Users({ query }: { query: URLSearchParams }) {
  const [q, setQ] = useState(query.get("q") ?? "");
  const kind = query.get("kind") ?? "";
  const asked = useSettled(q);
  useEffect(() => adjust(["users"], { q: asked, kind }), [asked]);
  const filter = { q: asked, kind, limit: ROWS };
  const list = useLoad((signal) => get<Listed>("v1/admin/users", { query: filter, signal }), [asked, kind]);
  const more = async () => {
    const page = await get<Listed>("v1/admin/users", { query: { ...filter, cursor: list.data?.next_cursor } });
    list.set({ ...page, users: [...(list.data?.users ?? []), ...page.users] });
  };
  const total = list.data?.total;
  return (
    <Page title="Users" lead={total === undefined ? "…" : total >= COUNTED ? `${count(COUNTED)} or more` : `${count(total)} found`}>
      <form
        class="filters"
        onSubmit={(e) => {
          e.preventDefault();
          if (q.trim()) go(link(["users", q.trim()], { kind }));
        }}
      >
        <Search label="Search users" value={q} onChange={setQ} placeholder="Beginning of an id; Enter opens exactly this one" />
        <select aria-label="Kind" value={kind} onChange={(e) => adjust(["users"], { q, kind: e.currentTarget.value })}>
          <option value="">Users</option>
          <option value="anonymous">Visitors</option>
        </select>
      </form>
      <Show loaded={list} rows={6}>
        {({ users, next_cursor }) =>
          users.length === 0 ? (
            <Empty title={asked ? "Nobody with traits has an id that begins so." : "Nobody was identified yet."}>
              {asked ? (
                <a href={link(["users", asked], { kind })}>Open exactly “{asked}”</a>
              ) : (
                "Users appear with their first identify; who only sent events has a page too: enter the id."
              )}
            </Empty>
          ) : (
            <Card class="flush">
              <Table label="Users" class="list" head={<><th>Id</th><th>Traits</th><th class="wide-only">Changed</th></>}>
                {users.map((user) => (
                  <tr key={user.id}>
                    <td class="name">
                      <a href={link(["users", user.id], { kind })}>{user.id}</a>
                    </td>
                    <td>
                      <Value of={user.traits} most={70} />
                    </td>
                    <td class="wide-only">
                      <Time at={user.updated_at} />
                    </td>
                  </tr>
                ))}
              </Table>
              <More cursor={next_cursor} onMore={more} />
            </Card>
          )
        }
      </Show>
    </Page>
  );
}
