"""E-mail: templates become messages, messages reach an SMTP server, and what comes back is read."""
