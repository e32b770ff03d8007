"""Answers that read passages of files: what responses and chats share."""
