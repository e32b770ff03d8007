# A draft of a Homebrew formula for a tap. docs/deployment.md says what a release still fills in.
class MlxOpenaiServer < Formula
  desc "OpenAI-compatible server for MLX models"
  # The project's page, the address of the release's source archive, and the archive's digest.
  homepage "https://example.org/mlx-openai-server-lab"
  url "https://example.org/mlx-openai-server-lab-0.2.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license all_of: ["MIT", "Apache-2.0"]

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@3.13"

  def install
    system Formula["python@3.13"].opt_bin/"python3.13", "-m", "venv", libexec
    pip = [libexec/"bin/python", "-m", "pip", "install", "--no-deps"]
    # The lock has the version and the hashes of every package, build tools included.
    system(*pip, "--require-hashes", "--requirement", "requirements/runtime.txt")
    system(*pip, "--no-build-isolation", ".")
    bin.install_symlink libexec/"bin/mlx-openai-server"
  end

  service do
    run [opt_bin/"mlx-openai-server", "launch"]
    environment_variables LOG_FORMAT: "json"
    keep_alive successful_exit: false
    process_type :interactive
    log_path var/"log/mlx-openai-server.log"
    error_log_path var/"log/mlx-openai-server.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mlx-openai-server --version")
    port = free_port
    server = spawn bin/"mlx-openai-server", "launch", "--model-type", "echo", "--port", port.to_s
    begin
      live = "http://127.0.0.1:#{port}/v1/health/live"
      system "curl", "--fail", "--silent", "--retry", "30", "--retry-connrefused", "--retry-delay", "1", live
    ensure
      Process.kill "TERM", server
      Process.wait server
    end
  end
end
