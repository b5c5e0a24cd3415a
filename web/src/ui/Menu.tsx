// A button that opens a small panel below it. Escape, a click outside, or leaving by Tab closes it.
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Icon, type IconName } from "./Icon";

interface MenuProps {
  label: ReactNode;
  /** Said instead of `label` where that is not enough. */
  name?: string;
  icon?: IconName;
  align?: "left" | "right";
  className?: string;
  /** Called with a function that closes the panel and puts the focus back on the button. */
  children: (close: () => void) => ReactNode;
}

export function Menu({ label, name, icon, align = "left", className = "", children }: MenuProps) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  function close() {
    setOpen(false);
    button.current?.focus();
  }

  useEffect(() => {
    if (!open) return;
    const onPointer = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", onPointer);
    box.current
      ?.querySelector<HTMLElement>(".menu-panel input, .menu-panel button, .menu-panel a, .menu-panel select")
      ?.focus();
    return () => document.removeEventListener("pointerdown", onPointer);
  }, [open]);

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only listens for Escape and for the focus leaving
    <div
      className={`menu ${className}`}
      ref={box}
      onKeyDown={(event) => {
        if (event.key === "Escape" && open) {
          event.stopPropagation();
          close();
        }
      }}
      onBlur={(event) => {
        if (open && event.relatedTarget && !box.current?.contains(event.relatedTarget)) setOpen(false);
      }}
    >
      <button
        type="button"
        className="button"
        ref={button}
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={name}
        title={name}
        onClick={() => setOpen(!open)}
      >
        {icon && <Icon name={icon} />}
        {label && <span className="button-text">{label}</span>}
        <Icon name="down" />
      </button>
      {open && (
        <div className={`menu-panel menu-${align}`} id={id} role="group" aria-label={name ?? String(label)}>
          {children(close)}
        </div>
      )}
    </div>
  );
}
