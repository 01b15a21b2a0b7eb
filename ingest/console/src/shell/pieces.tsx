// The small pieces that all pages are made of: states, times, fields, tables, values.
import type { ComponentChildren, JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { exact, relative } from "../format";
import { type Loaded, useNow } from "../loading";
import { Refused } from "../api";

export function Page({ title, actions, children, lead }: { title: string; actions?: ComponentChildren; lead?: ComponentChildren; children: ComponentChildren }) {
  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1}>{title}</h1>
          {lead && <div class="lead">{lead}</div>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </div>
      {children}
    </>
  );
}

export function Card({ title, actions, children, class: more = "" }: { title?: string; actions?: ComponentChildren; children: ComponentChildren; class?: string }) {
  return (
    <section class={`card ${more}`}>
      {title && (
        <div class="card-head">
          <h2>{title}</h2>
          {actions}
        </div>
      )}
      {children}
    </section>
  );
}

/** What is there, or why it is not. What was shown stays while it is loaded again. */
export function Show<T>({ loaded, children, rows = 3 }: { loaded: Loaded<T>; children: (data: T) => ComponentChildren; rows?: number }) {
  const { data, error, busy, reload } = loaded;
  return (
    <div aria-busy={busy}>
      {error && <Failure error={error} onRetry={reload} />}
      {data !== undefined ? children(data) : busy ? <Skeleton rows={rows} /> : null}
    </div>
  );
}

export function Skeleton({ rows }: { rows: number }) {
  return (
    <div class="skeleton" role="status">
      <span class="unseen">Loading</span>
      {Array.from({ length: rows }, (_, n) => (
        <span key={n} class="bar" />
      ))}
    </div>
  );
}

export function Failure({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const faults = error instanceof Refused ? error.faults : [];
  return (
    <div class="failure" role="alert">
      <div>
        <strong>{error.message}</strong>
        {faults.length > 0 && (
          <ul>
            {faults.map((fault) => (
              <li key={fault.path + fault.msg}>
                <code>{fault.path || "the document"}</code> {fault.msg}
              </li>
            ))}
          </ul>
        )}
      </div>
      {onRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children && <div>{children}</div>}
    </div>
  );
}

export function Time({ at }: { at: string }) {
  const now = useNow();
  const time = Date.parse(at);
  return (
    <time dateTime={at} title={exact(time)}>
      {relative(time, now)}
    </time>
  );
}

const TONES: Record<string, string> = {
  active: "good", ready: "good", stored: "good", accepted: "good", show: "good", shown: "good", client: "plain",
  paused: "warn", draft: "plain", archived: "plain", held_out: "warn", hold_out: "warn", preview: "info", admin: "info",
  open: "bad", not_ready: "bad", rejected: "bad", suppressed: "bad", redriven: "good", discarded: "plain", revoked: "plain",
};

export function Tag({ children }: { children: string }) {
  return <span class={`tag ${TONES[children] ?? "plain"}`}>{children.replaceAll("_", " ")}</span>;
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string;
  class?: string;
  children: (props: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ComponentChildren;
}

export function Field({ label, hint, error, children, class: more = "" }: FieldProps) {
  const id = useId();
  const about = hint || error ? `${id}-about` : undefined;
  return (
    <div class={`field ${more}`}>
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": about, "aria-invalid": error ? true : undefined })}
      {about && (
        <div id={about} class={error ? "hint bad" : "hint"}>
          {error || hint}
        </div>
      )}
    </div>
  );
}

export function Search({ label, value, onChange, placeholder }: { label: string; value: string; onChange: (value: string) => void; placeholder?: string }) {
  return (
    <input
      type="search"
      data-search
      aria-label={label}
      aria-keyshortcuts="/"
      placeholder={placeholder ?? label}
      value={value}
      onInput={(e) => onChange(e.currentTarget.value)}
    />
  );
}

/** A table that scrolls by itself where the screen is narrow, also with the keyboard. */
export function Table({ label, head, children, class: more = "" }: { label: string; head: ComponentChildren; children: ComponentChildren; class?: string }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table class={more}>
        <thead>
          <tr>{head}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** A value of JSON in one line. */
export function Value({ of, most = 80 }: { of: unknown; most?: number }) {
  const text = typeof of === "string" ? of : (JSON.stringify(of) ?? "–");
  return <code title={text.length > most ? text : undefined}>{text.length > most ? `${text.slice(0, most)}…` : text}</code>;
}

export function JsonBlock({ text, label }: { text: string; label: string }) {
  return (
    <pre class="json" tabIndex={0} role="region" aria-label={label}>
      {text}
    </pre>
  );
}

/** A button that works at one thing at a time. */
export function Act({ children, onAct, ...rest }: { children: ComponentChildren; onAct: () => Promise<unknown> } & Omit<JSX.IntrinsicElements["button"], "onClick">) {
  const [busy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    try {
      await onAct();
    } finally {
      setBusy(false);
    }
  };
  return (
    <button type="button" {...rest} disabled={busy || rest.disabled === true} aria-busy={busy} onClick={act}>
      {children}
    </button>
  );
}

export function More({ cursor, onMore }: { cursor: string | null; onMore: () => Promise<unknown> }) {
  return cursor ? (
    <p class="more">
      <Act onAct={onMore}>Show more</Act>
    </p>
  ) : null;
}
