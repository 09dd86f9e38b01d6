// The pages by the name in the address.

import { SessionPage, TaskPage } from "./page_details.js";
import { ApplicationsPage, FailuresPage, SessionsPage, TasksPage } from "./page_lists.js";
import { OverviewPage } from "./page_overview.js";
import { FeedPage, HandlersPage, LagPage, NodesPage } from "./page_system.js";

export const PAGES_OF = {
  overview: OverviewPage,
  applications: ApplicationsPage,
  sessions: SessionsPage,
  session: SessionPage,
  tasks: TasksPage,
  task: TaskPage,
  failures: FailuresPage,
  handlers: HandlersPage,
  lag: LagPage,
  feed: FeedPage,
  nodes: NodesPage,
};
