// Dialogs: the browser's own, so Esc closes them, the focus stays inside and comes back.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}

export function Dialog({ title, onClose, children, wide }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    const opener = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    // The browser gives the focus back only to a dialog that is closed before it is taken away.
    return () => {
      dialog?.close();
      if (opener?.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog ref={element} class={wide ? "wide" : ""} aria-labelledby={id} onCancel={(e) => (e.preventDefault(), onClose())}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="icon" aria-label="Close" onClick={onClose}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

interface Question {
  title: string;
  text: ComponentChildren;
  /** What the button says: the thing that happens. */
  action: string;
  danger?: boolean;
  answer: (yes: boolean) => void;
}

let ask: (question: Question) => void = () => {};

/** Asks before something that cannot be undone, or that many notice. */
export function confirm(question: Omit<Question, "answer">): Promise<boolean> {
  return new Promise((answer) => ask({ ...question, answer }));
}

export function Questions() {
  const [question, setQuestion] = useState<Question | null>(null);
  ask = setQuestion;
  if (!question) return null;
  const answer = (yes: boolean) => {
    setQuestion(null);
    question.answer(yes);
  };
  return (
    <Dialog title={question.title} onClose={() => answer(false)}>
      <div class="text">{question.text}</div>
      <footer>
        <button type="button" autofocus onClick={() => answer(false)}>
          Cancel
        </button>
        <button type="button" class={question.danger ? "danger" : "primary"} onClick={() => answer(true)}>
          {question.action}
        </button>
      </footer>
    </Dialog>
  );
}
