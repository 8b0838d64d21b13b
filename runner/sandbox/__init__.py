"""Where does it happen? Images, workspaces, limits and containers."""
