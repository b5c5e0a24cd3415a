// A level as letter, shape and colour: any one of them is enough.
import type { Level } from "./items";

export function LevelMark({ level }: { level: Level }) {
  return (
    <span className={`level level-${level}`} title={level}>
      <span aria-hidden="true">{level[0]}</span>
      <span className="hidden">{level}</span>
    </span>
  );
}
