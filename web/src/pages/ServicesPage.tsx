// The stack's containers: their state, the way to their records, and the restart of those that may be restarted.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { asProblem } from "../api/problem";
import { listServices, restartService, type Service } from "../api/trading";
import { encodeFilter } from "../logs/logsql";
import { useSession } from "../session";
import { ReasonForm } from "../trading/ReasonForm";
import { Link } from "../ui/Link";
import { Loading } from "../ui/Loading";
import { ProblemPanel } from "../ui/ProblemPanel";

const KEY = ["services"];

function recordsOf(container: string): string {
  const filter = encodeFilter({ field: "container_name", value: container, not: false });
  return `/logs?${new URLSearchParams({ f: filter })}`;
}

function stateClass({ state, health }: Service): string | undefined {
  if (state !== "running" || health === "unhealthy") return "text-ERROR";
  return health === "starting" ? "text-WARNING" : undefined;
}

function ServiceRow({ service, onSaid }: { service: Service; onSaid: (text: string) => void }) {
  const queries = useQueryClient();
  const isOperator = useSession().role === "operator";
  const [asking, setAsking] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const { component } = service;

  async function restart(_: FormData, reason: string) {
    const tookMs = await restartService(component, reason).finally(() => queries.invalidateQueries({ queryKey: KEY }));
    setAsking(false);
    onSaid(`${component} was restarted in ${(tookMs / 1_000).toFixed(1)} s.`);
  }

  return (
    <>
      <tr>
        <th scope="row">{component}</th>
        <td className={stateClass(service)}>
          {service.state}
          {service.health !== "none" && `, ${service.health}`}
        </td>
        <td>{service.status}</td>
        <td>{service.image}</td>
        <td>
          {service.has_records ? (
            <Link href={recordsOf(service.container)}>Records</Link>
          ) : (
            <span className="muted">–</span>
          )}
        </td>
        <td>
          {service.restartable && isOperator && !asking && (
            <button
              type="button"
              className="button"
              ref={opener}
              onClick={() => setAsking(true)}
              aria-label={`Restart ${component}`}
            >
              Restart
            </button>
          )}
        </td>
      </tr>
      {asking && (
        <tr>
          <td colSpan={6}>
            <ReasonForm
              label={`Restart ${component}`}
              submit={`Restart ${component}`}
              opener={opener}
              onSubmit={restart}
              onCancel={() => setAsking(false)}
            />
          </td>
        </tr>
      )}
    </>
  );
}

export function ServicesPage() {
  const [said, setSaid] = useState("");
  useEffect(() => {
    document.title = "Services · Crowsnest";
  }, []);
  const { data, error, refetch } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => listServices(signal),
    refetchInterval: 5_000,
  });
  return (
    <main className="page page-padded">
      <h1>Services</h1>
      <p className="muted">The stack's containers. A restart takes a reason, and is in the audit log.</p>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} inline={data !== undefined} />}
      <p role="status">{said}</p>
      {!data && !error && <Loading />}
      {data && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, so the keyboard has to reach it
        <div className="table-scroll" tabIndex={0} role="group" aria-label="Services">
          <table className="table table-wide">
            <thead>
              <tr>
                {["Component", "State", "Since", "Image", "Records"].map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
                <th scope="col">
                  <span className="hidden">Restart</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.map((service) => (
                <ServiceRow key={service.container} service={service} onSaid={setSaid} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </main>
  );
}
