// The console: a key first, then one page at a time, chosen by the address behind #.
import { render } from "preact";
import { Analytics } from "./analytics";
import { CampaignPage } from "./campaigns/page";
import { EditCampaign, NewCampaign } from "./campaigns/editor";
import { Campaigns } from "./campaigns/list";
import { DeadLetters } from "./dead_letters";
import { KeyPage } from "./key_page";
import { Keys } from "./keys";
import { Live } from "./live";
import { Overview } from "./overview";
import { link, useRoute } from "./router";
import { applyLook, useKey } from "./session";
import { Questions } from "./shell/dialog";
import { Notices } from "./shell/notices";
import { Empty, Page } from "./shell/pieces";
import { Shell } from "./shell/shell";
import { UserPage } from "./users/page";
import { Users } from "./users/list";

function Routed() {
  const route = useRoute();
  const [page = "overview", id, more] = route.parts;
  switch (page) {
    case "overview":
      return <Overview />;
    case "campaigns":
      if (id === undefined) return <Campaigns query={route.query} />;
      if (id === "new") return <NewCampaign />;
      return more === "edit" ? <EditCampaign key={id} id={id} /> : <CampaignPage key={id} id={id} view={more ?? "results"} query={route.query} />;
    case "analytics":
      return <Analytics query={route.query} />;
    case "live":
      return <Live query={route.query} />;
    case "users":
      return id === undefined ? <Users query={route.query} /> : <UserPage key={route.query.get("kind") + id} id={id} query={route.query} />;
    case "dead-letters":
      return <DeadLetters query={route.query} />;
    case "keys":
      return <Keys />;
    default:
      return (
        <Page title="There is no such page">
          <Empty title="The address leads nowhere.">
            <a href={link(["overview"])}>Go to the overview</a>
          </Empty>
        </Page>
      );
  }
}

function Console() {
  const key = useKey();
  return (
    <>
      {key ? (
        <Shell key={key}>
          <Routed />
        </Shell>
      ) : (
        <KeyPage />
      )}
      <Questions />
      <Notices />
    </>
  );
}

applyLook();
const root = document.getElementById("console");
if (root) render(<Console />, root);
