"""The API: guarded questions to the log store for people and machines who have signed in.

Each domain is a folder: `logs` (queries, tail, export), `identity` (users, sessions, tokens), `audit` (who did what), `views`
(saved views). `app.create_app` puts them together, `server.serve` runs the result.
"""
