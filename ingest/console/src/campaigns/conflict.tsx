// Somebody saved while this was being edited: what they changed, what was changed here, and the choice.
import { Dialog } from "../shell/dialog";
import { Act } from "../shell/pieces";
import type { Campaign, Document } from "../types";
import { Differences, differences, same } from "./diff";
import { plain } from "./draft";

interface Props {
  base: Campaign;
  theirs: Campaign;
  /** The keys that were changed here. */
  mine: Document;
  onMine: () => Promise<unknown>;
  onTheirs: () => void;
  onClose: () => void;
}

export function Conflict({ base, theirs, mine, onMine, onTheirs, onClose }: Props) {
  const before = plain(base);
  const after = plain(theirs);
  const both = Object.keys(mine).filter((key) => !same(before[key], after[key]));
  return (
    <Dialog title="Somebody else changed it meanwhile" onClose={onClose} wide>
      <h3>What they changed</h3>
      <Differences of={differences(before, after)} none="Nothing that this page shows." />
      <h3>What you changed</h3>
      <Differences of={differences(before, { ...before, ...mine })} none="Nothing." />
      <p class={both.length ? "why" : "hint"}>
        {both.length
          ? `Both of you changed ${both.join(", ")}: saving yours replaces theirs there.`
          : "You changed different parts: saving yours keeps theirs too."}
      </p>
      <footer>
        <button type="button" onClick={onClose}>
          Go on editing
        </button>
        <button type="button" onClick={onTheirs}>
          Drop mine, take theirs
        </button>
        <Act class="primary" onAct={onMine}>
          Save mine too
        </Act>
      </footer>
    </Dialog>
  );
}
