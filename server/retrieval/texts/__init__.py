"""The text of files: plain text in any form, HTML, and PDF."""
