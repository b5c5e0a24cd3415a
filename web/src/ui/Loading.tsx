// What stands in place of an answer that takes its time; one that comes at once is not preceded by a flash of this.

export function Loading() {
  return (
    <p className="loading muted" role="status">
      Loading …
    </p>
  );
}
