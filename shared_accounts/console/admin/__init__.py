"""The group's pages: for admins only, and for everybody else an address like any other where there is nothing."""
