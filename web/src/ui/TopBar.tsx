// The bar on every page: where one is, how the store is, time zone, theme, and who is logged in.
import { useQuery } from "@tanstack/react-query";
import { health, logout } from "../api/client";
import { asProblem } from "../api/problem";
import { EXCHANGES, spanText } from "../logs/time";
import { useZone } from "../logs/useSearch";
import { isDark, prefer, usePreferences } from "../preferences";
import { useSession } from "../session";
import { openHelp } from "./Help";
import { Icon } from "./Icon";
import { Link } from "./Link";
import { Menu } from "./Menu";

const LATE_SECONDS = 120;

function StoreHealth() {
  const { data, error } = useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => health(signal),
    refetchInterval: 10_000,
    retry: false,
  });
  let [state, text] = ["unknown", "store …"];
  if (error) [state, text] = ["bad", asProblem(error).status === 0 ? "API unreachable" : "store unavailable"];
  else if (data?.store === "unavailable") [state, text] = ["bad", "store unavailable"];
  else if (data?.store === "read_only") [state, text] = ["bad", "store is read-only"];
  else if (data) {
    const age = data.newest_record_age_seconds;
    if (age === null) [state, text] = ["late", "store is empty"];
    else [state, text] = [age > LATE_SECONDS ? "late" : "ok", `newest ${spanText(Math.max(0, age))} ago`];
  }
  return (
    <span className={`health health-${state}`} title="Log store: age of its newest record">
      <span className="health-mark" aria-hidden="true" />
      <span>{text}</span>
    </span>
  );
}

function ZoneSelect() {
  const [zone, setZone] = useZone();
  const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <label className="select">
      <Icon name="clock" />
      <span className="hidden">Time zone</span>
      <select value={zone} onChange={(event) => setZone(event.target.value)} id="zone">
        <option value="utc">UTC</option>
        <option value="local">Local · {local.split("/").at(-1)?.replaceAll("_", " ")}</option>
        <optgroup label="Exchange">
          {EXCHANGES.map(([id, label]) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </optgroup>
      </select>
    </label>
  );
}

function ThemeButton() {
  usePreferences();
  const dark = isDark();
  const name = dark ? "Switch to light" : "Switch to dark";
  return (
    <button
      type="button"
      className="button button-bare"
      aria-label={name}
      title={name}
      onClick={() => prefer({ theme: dark ? "light" : "dark" })}
    >
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}

function UserMenu() {
  const session = useSession();
  return (
    <Menu label={session.name} icon="user" name={`Account of ${session.name}`} align="right">
      {() => (
        <>
          <p className="menu-note">
            {session.name}, {session.role}
            <br />
            {session.strategies ? `sees ${session.strategies.join(", ")}` : "sees every strategy"}
          </p>
          {session.tools.map((tool) => (
            <a key={tool.path} className="menu-item" href={tool.path}>
              {tool.title}
            </a>
          ))}
          <button type="button" className="menu-item" onClick={() => void logout()}>
            Log out
          </button>
        </>
      )}
    </Menu>
  );
}

const PAGES = [
  ["/logs", "Logs"],
  ["/strategies", "Strategies"],
  ["/trading", "Trading"],
  ["/budgets", "Budgets"],
  ["/services", "Services"],
] as const;

function Pages({ path }: { path: string }) {
  const { role } = useSession();
  const pages = role === "operator" ? [...PAGES, ["/audit", "Audit"] as const] : PAGES;
  const present = pages.find(([start]) => path.startsWith(start))?.[0] ?? "/logs";
  return (
    <nav aria-label="Pages">
      {pages.map(([start, name]) => (
        <Link key={start} href={start} aria-current={start === present ? "page" : undefined}>
          {name}
        </Link>
      ))}
    </nav>
  );
}

export function TopBar({ path }: { path: string }) {
  return (
    <header className="topbar">
      <span className="brand">
        <svg viewBox="0 0 32 32" className="brand-mark" aria-hidden="true">
          <path d="M16 4v24M7 11h18l-3 8H10z" />
        </svg>
        Crowsnest
      </span>
      <Pages path={path} />
      <span className="topbar-space" />
      <StoreHealth />
      <ZoneSelect />
      <ThemeButton />
      <button
        type="button"
        className="button button-bare"
        aria-label="Keyboard shortcuts"
        title="Keyboard shortcuts (?)"
        onClick={openHelp}
      >
        <Icon name="help" />
      </button>
      <UserMenu />
    </header>
  );
}
