// Saved searches of the person who is logged in.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";
import { deleteView, listViews, saveView, type View } from "../api/client";
import { asProblem } from "../api/problem";
import { Icon } from "../ui/Icon";
import { Menu } from "../ui/Menu";
import { sentence } from "../ui/ProblemPanel";
import { fromView, type Search, toView } from "./search";

const VIEWS_KEY = ["views"];

interface ViewsProps {
  search: Search;
  onOpen: (search: Search) => void;
}

function Panel({ search, onOpen, close }: ViewsProps & { close: () => void }) {
  const queries = useQueryClient();
  const views = useQuery({ queryKey: VIEWS_KEY, queryFn: ({ signal }) => listViews(signal) });
  const refresh = () => queries.invalidateQueries({ queryKey: VIEWS_KEY });
  const save = useMutation({ mutationFn: (name: string) => saveView(name, toView(search)), onSuccess: refresh });
  const remove = useMutation({ mutationFn: (name: string) => deleteView(name), onSuccess: refresh });
  const error = views.error ?? save.error ?? remove.error;

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const name = String(new FormData(form).get("name")).trim();
    if (name) save.mutate(name, { onSuccess: () => form.reset() });
  }

  function open(view: View) {
    onOpen(fromView(view.query, search));
    close();
  }

  return (
    <div className="views-panel">
      <form onSubmit={submit} className="views-form">
        <label>
          Save this search as
          <input
            name="name"
            required
            maxLength={64}
            pattern="[^/]+"
            title="Any name without a slash"
            autoComplete="off"
          />
        </label>
        <button type="submit" className="button button-main" disabled={save.isPending}>
          Save
        </button>
      </form>
      {error && (
        <p className="form-error" role="alert">
          {sentence(asProblem(error).detail || asProblem(error).title)} {sentence(asProblem(error).hint)}
        </p>
      )}
      {views.data?.length === 0 && <p className="muted">None saved yet.</p>}
      <ul className="menu-list">
        {views.data?.map((view) => (
          <li key={view.name} className="views-item">
            <button type="button" className="menu-item" onClick={() => open(view)}>
              {view.name}
              <span className="muted views-query">
                {!view.query.q || view.query.q === "*" ? "everything" : view.query.q}
              </span>
            </button>
            <button
              type="button"
              className="button button-bare"
              aria-label={`Delete view ${view.name}`}
              onClick={() => remove.mutate(view.name)}
            >
              <Icon name="trash" />
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function ViewsMenu(props: ViewsProps) {
  return (
    <Menu label="Views" icon="bookmark" name="Saved views" align="right">
      {(close) => <Panel {...props} close={close} />}
    </Menu>
  );
}
