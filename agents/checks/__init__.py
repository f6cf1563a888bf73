"""The built-in checks: importing this package registers them."""

import orchestrate_agents.checks.commands
import orchestrate_agents.checks.data.citations
import orchestrate_agents.checks.data.csv
import orchestrate_agents.checks.data.dataframes
import orchestrate_agents.checks.data.load_scripts
import orchestrate_agents.checks.data.privacy
import orchestrate_agents.checks.data.target_rows
import orchestrate_agents.checks.documents
import orchestrate_agents.checks.error_handling
import orchestrate_agents.checks.files
import orchestrate_agents.checks.http
import orchestrate_agents.checks.places
import orchestrate_agents.checks.programs
import orchestrate_agents.checks.project.suites
import orchestrate_agents.checks.python.behaviour
import orchestrate_agents.checks.python.exports
import orchestrate_agents.checks.sql.access
import orchestrate_agents.checks.sql.equivalence
import orchestrate_agents.checks.sql.migration
import orchestrate_agents.checks.sql.schema
import orchestrate_agents.checks.text.absent
import orchestrate_agents.checks.text.present
import orchestrate_agents.checks.tickets
import orchestrate_agents.checks.typescript.compiler
import orchestrate_agents.checks.typescript.query
import orchestrate_agents.checks.typescript.states
