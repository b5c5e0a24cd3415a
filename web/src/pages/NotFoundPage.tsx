import { Link } from "../ui/Link";

export function NotFoundPage() {
  return (
    <main className="page page-padded">
      <h1>There is no such page</h1>
      <p>
        The viewer has <Link href="/logs">all logs</Link> and <Link href="/strategies">the strategies</Link>.
      </p>
    </main>
  );
}
