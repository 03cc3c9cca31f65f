"""The words of the domain: frozen dataclasses, protocols, errors and seeding. numpy and the standard library only."""
