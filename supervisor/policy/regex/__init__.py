"""Regular expressions of policy (RE2 syntax) as the tables that workers walk. It knows no rules."""
