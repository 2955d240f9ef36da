"""The named queries of this package."""

from admin_api.sql import named_queries

SQL = named_queries("admin_api.access")
