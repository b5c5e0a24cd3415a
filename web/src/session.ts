// Who is logged in, for every component below App.
import { createContext, useContext } from "react";
import type { Session } from "./api/client";

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("useSession needs a logged-in user above it");
  return session;
}
