// The sheet of keyboard shortcuts. A native dialog keeps the focus inside and gives it back.
import { useEffect, useRef } from "react";
import { prefer, usePreferences } from "../preferences";

const OPEN = "crowsnest-help";

export function openHelp(): void {
  window.dispatchEvent(new Event(OPEN));
}

export const SHORTCUTS: readonly (readonly [
  title: string,
  keys: readonly (readonly [keys: string, does: string])[],
])[] = [
  [
    "Query",
    [
      ["/", "go to the query"],
      ["Enter", "run it (in the query)"],
      ["r", "run again, up to now"],
      ["l", "live on or off"],
      ["Space", "pause or go on (live)"],
      ["t", "next time zone"],
    ],
  ],
  [
    "Records",
    [
      ["j  k", "next, previous record"],
      ["↓  ↑", "the same, in the list"],
      ["PgDn  PgUp", "a page"],
      ["g  G", "newest, oldest loaded"],
      ["Enter  e", "open the record"],
      ["c", "open what happened around it"],
      ["y", "copy a link to what is shown"],
      ["Esc", "close what is open"],
    ],
  ],
  [
    "Histogram",
    [
      ["←  →", "move, when it has the focus"],
      ["Shift ←  →", "select a range"],
      ["Enter", "zoom to it"],
      ["z", "zoom out"],
    ],
  ],
  [
    "Page",
    [
      ["f", "show or hide facets"],
      ["d", "dark or light"],
      ["?", "this sheet"],
    ],
  ],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const { singleKeys } = usePreferences();

  useEffect(() => {
    const open = () => {
      if (!dialog.current?.open) dialog.current?.showModal();
    };
    window.addEventListener(OPEN, open);
    return () => window.removeEventListener(OPEN, open);
  }, []);

  return (
    <dialog ref={dialog} className="help" aria-labelledby="help-title">
      <form method="dialog">
        <header>
          <h2 id="help-title">Keyboard shortcuts</h2>
          <button type="submit" className="button">
            Close
          </button>
        </header>
        <div className="help-columns">
          {SHORTCUTS.map(([title, keys]) => (
            <section key={title}>
              <h3>{title}</h3>
              <dl>
                {keys.map(([key, does]) => (
                  <div key={key + does}>
                    <dt>
                      {key.split("  ").map((one) => (
                        <kbd key={one}>{one}</kbd>
                      ))}
                    </dt>
                    <dd>{does}</dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
        </div>
        <label className="check">
          <input
            type="checkbox"
            checked={singleKeys}
            onChange={(event) => prefer({ singleKeys: event.target.checked })}
          />
          Shortcuts of a single key (turn off when you dictate)
        </label>
      </form>
    </dialog>
  );
}
