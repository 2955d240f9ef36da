"""`python -m admin_api`: the admin API."""

from admin_api.api.app import serve
from admin_api.settings import ApiSettings
from bitloot import process

if __name__ == "__main__":
    process.run("admin-api", ApiSettings, serve)
