import { useEffect } from "react";
import { LogViewer } from "../logs/LogViewer";

export function LogsPage() {
  useEffect(() => {
    document.title = "Logs · Crowsnest";
  }, []);
  return (
    <main className="page">
      <h1 className="hidden">Logs</h1>
      <LogViewer scope={null} />
    </main>
  );
}
